package main

import (
	"os"
	"os/signal"
	"syscall"
)

func init() {
	cases["signals_sent"] = func() {
		c := make(chan os.Signal)
		signal.Notify(c, syscall.SIGUSR2)
		defer signal.Stop(c)
		go func() { c <- syscall.SIGUSR2 }()
		show(<-c, cap(c))
	}
}
