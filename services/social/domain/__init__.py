"""What things of people are and may be: values, rules and names, with no transport and no storage."""
