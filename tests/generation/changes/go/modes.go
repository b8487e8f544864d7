package main

import "os"

func init() {
	cases["modes"] = func() {
		show(os.FileMode(0644), os.FileMode(420))
		show(os.Chmod("/nowhere", 420) != nil, os.MkdirAll("/tmp", 0755))
	}
}
