"""Wire dialects. Each is pure: frames in, commands out; records in, frames out."""
