"""The command line: argv to calls, results to stdout or files, talk to stderr, errors to exit codes."""
