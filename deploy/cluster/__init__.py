"""What `deploy/cluster-test` is made of; the standard library is all it needs."""
