"""The stages of every domain, written just as a domain writes its own."""
