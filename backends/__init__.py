"""One folder per technique, each registered through an entry point exactly as a stranger's would be."""
