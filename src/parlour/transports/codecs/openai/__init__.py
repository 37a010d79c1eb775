"""The OpenAI dialect: Chat Completions, Responses, Conversations and Files as JSON. Pure."""
