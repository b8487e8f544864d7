package main

import (
	"errors"
	"fmt"
)

func init() {
	cases["formats"] = func() {
		err := errors.New("plain")
		show(fmt.Sprintf(err.Error()), fmt.Errorf(err.Error()))
		show(fmt.Errorf("%w and %s", err, err.Error()))
	}
}
