"""A person's SQL, answered within limits that the SQL itself cannot lift."""
