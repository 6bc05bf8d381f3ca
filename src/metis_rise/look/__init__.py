"""What `rise status`, `rise show` and `rise compare` say of run folders. Reads them only, and imports no torch."""
