package main

import "math/rand"

func newSessionBytes() int {
	b := make([]byte, 4)
	n, err := rand.Read(b)
	if err != nil {
		return 0
	}
	return n
}

func init() {
	cases["bytes_of_rand"] = func() { show(newSessionBytes()) }
}
