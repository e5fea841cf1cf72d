"""What a call sets off in several stores at once: each action is one transaction with its events."""
