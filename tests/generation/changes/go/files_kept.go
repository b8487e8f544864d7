package main

import (
	"bufio"
	"io"
	"os"
)

type reader struct{ from io.Reader }

func open(name string) (*bufio.Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return bufio.NewReader(f), nil
}

func hold(name string) (reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return reader{}, err
	}
	return reader{from: f}, nil
}

func later(name string) (func() (int, error), error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return func() (int, error) { return f.Read(make([]byte, 1)) }, nil
}

func init() {
	cases["files_kept"] = func() {
		r, _ := open("/dev/zero")
		b, err := r.ReadByte()
		show(b, err)
		h, _ := hold("/dev/zero")
		n, err := h.from.Read(make([]byte, 1))
		show(n, err)
		read, _ := later("/dev/zero")
		show(read())
	}
}
