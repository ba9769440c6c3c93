# Six words for those who carry on; CONTRIBUTING.md explains them.
.PHONY: setup test slow lint docs bench

setup:
	pip install -e ".[dev]"

test:
	pytest

slow:
	pytest -m slow
	pytest -m hypothesis --hypothesis-profile=thorough

lint:
	ruff check .
	ruff format --check .
	mypy

docs:
	python docs/generate.py

bench:
	python benchmarks/throughput.py
