"""gRPC in: requests are checked and turned into values of the domain, answers into messages."""
