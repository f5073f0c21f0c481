"""What a run can do, whatever its domain. It is written as a domain's own stages are."""
