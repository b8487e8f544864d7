package main

import "errors"

type report struct{ text string }

func (r report) Errorf(format string, arguments ...interface{}) report {
	return report{format}
}

func init() {
	cases["formats_own"] = func() {
		show(report{}.Errorf(errors.New("100%").Error()).text)
	}
}
