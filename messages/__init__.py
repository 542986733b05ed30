"""What travels: wire messages (other systems see them), commands (between actors) and events (journaled facts)."""
