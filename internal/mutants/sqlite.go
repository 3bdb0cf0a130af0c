package main

func sqliteMutants() []mutant { return nil }
