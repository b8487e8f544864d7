package main

import (
	"bufio"
	"io"
	"os"
)

func size(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	b, err := io.ReadAll(f)
	return len(b), err
}

func firstLine(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return "missing"
	}
	lines := bufio.NewScanner(f)
	lines.Scan()
	return lines.Text()
}

func init() {
	cases["files"] = func() {
		n, err := size("/dev/null")
		show(n, err, firstLine("/dev/null"), firstLine("/nowhere"))
	}
}
