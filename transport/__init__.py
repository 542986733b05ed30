"""Ways in: the REST server, and later HTTP /invoke and Kafka."""
