"""The command line: argv to calls, results to stdout or files, progress to stderr, errors to exit codes."""
