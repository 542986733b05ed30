"""The services of a cluster on this machine: real brokers and databases, installed and started by the project itself."""
