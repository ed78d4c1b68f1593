"""One module a chapter: each public function checks the exercise of its name."""
