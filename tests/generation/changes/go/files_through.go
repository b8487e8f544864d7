package main

import (
	"bufio"
	"os"
)

func scanner(name string) *bufio.Scanner {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	lines := bufio.NewScanner(f)
	return lines
}

func init() {
	cases["files_through"] = func() {
		lines := scanner("/proc/self/cmdline")
		show(lines.Scan() || true, lines.Err())
	}
}
