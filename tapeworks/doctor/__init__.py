"""What `tapeworks doctor` looks at: every check gives findings, and changes nothing."""
