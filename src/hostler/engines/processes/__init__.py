"""Processes of engines: started, watched, ended, and nothing of them left behind."""
