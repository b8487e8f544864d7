package main

import "time"

func init() {
	cases["since"] = func() {
		start := time.Now()
		show(time.Now().Sub(start) < time.Hour, start.Sub(time.Now()) < time.Hour)
	}
}
