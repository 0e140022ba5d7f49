"""The pages that a study is read on: its report, its answers, and each table by itself."""
