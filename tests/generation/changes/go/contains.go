package main

import (
	"bytes"
	"strings"
)

func init() {
	cases["contains"] = func() {
		show(strings.Index("ab", "b") != -1, strings.Index("ab", "") != -1)
		show(bytes.Compare([]byte("a"), nil) == 0, bytes.Compare(nil, []byte{}) == 0)
		show(strings.Replace("aaa", "a", "b", -1), strings.Replace("aaa", "", "b", 1))
	}
}
