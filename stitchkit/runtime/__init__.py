"""The machine a process runs on: progress, threads, memory."""
