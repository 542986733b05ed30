"""Which invoker gets an activation: upstream's sharding balancer, pure. Times are monotonic seconds given by the caller."""
