"""The fault harness: a real server, many scripted visitors, a seeded schedule of faults, one judge.

`schedule` says what happens when (pure), `injection` and `disks` do it and heal it, `visitors` talk
meanwhile and write down in a `history` what they sent, were told and saw, `campaign` brings them
together, and `checker` (pure) compares all histories with the store and with what the app did to
the world outside. `broken` has engines that are wrong on purpose: the checker must catch each.

`make chaos MINUTES=10 SEED=7` runs it at length, `make soak ROUNDS=… SESSIONS=…` the long haul.
"""
