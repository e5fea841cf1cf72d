"""What a process does on its own, again and again; any number of processes may, each piece of work is done once."""
