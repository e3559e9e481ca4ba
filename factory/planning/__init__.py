"""Planning: what a job wants, what is committed, and what sets them apart."""
