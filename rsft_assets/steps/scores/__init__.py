"""scores/<model>/<benchmark>[RUN|STEP]: completions, stored before they are graded, and grades."""
