"""The core: actors that take a message, change their state and send messages; no clock, no randomness, no I/O."""
