package main

import (
	"os"
	"os/signal"
	"syscall"
)

func init() {
	cases["signals"] = func() {
		c := make(chan os.Signal)
		signal.Notify(c, syscall.SIGUSR1)
		defer signal.Stop(c)
		select {
		case <-c:
			show("signal")
		default:
			show("none")
		}
	}
}
