"""One small program per language, with what is to be found in it."""

from typing import NamedTuple


class Sample(NamedTuple):
    """A program; symbols as `kind qualified.name`, documented ones marked `*`; imports; names called."""

    language: str
    source: str
    symbols: list[str]
    imports: list[str]
    calls: list[str]
    # cyclomatic, cognitive, nesting, parameters of the function `f` (or a method of that name)
    measures: tuple[int, int, int, int]


SAMPLES = [
    Sample(
        "Python",
        '''"""A module."""
import os.path, sys
from . import sibling
from ..above import (a, b as c)


class Shape(Base):
    """A shape."""

    def f(self, x, *rest, key=None):
        """Do it."""
        if x and key:
            for item in rest:
                print(item)
        elif x:
            return helper(x)
        return [y for y in rest if y]


async def outer():
    def inner():
        pass
    await inner()
''',
        ["class Shape*", "method Shape.f*", "function outer", "function outer.inner"],
        ["os.path", "sys", ". sibling", "..above a b"],
        ["helper", "inner", "print"],
        (7, 5, 2, 4),
    ),
    Sample(
        "JavaScript",
        """import React, { useState } from 'react';
const fs = require("fs");
export * from './other.js';

/** Adds. */
export function f(a, b = 1) {
  if (a > b || b) { return run(a); } else { while (a) { a--; } }
  return a ? b : 0;
}

class Box extends Base {
  get size() { return this.items.map(x => x + 1).length; }
}

const arrow = async (x) => { await fetch(x); };
""",
        ["function f*", "class Box", "method Box.size", "function arrow"],
        ["react useState", "fs", "./other.js"],
        ["fetch", "map", "require", "run"],
        (5, 6, 2, 2),
    ),
    Sample(
        "TypeScript",
        """import type { Options } from "../options";

/** What is stored. */
export interface Store<T> { get(key: string): T; }

export enum Color { Red, Green }

export abstract class Cache<T> implements Store<T> {
  constructor(private readonly size: number) {}

  f(key: string, fallback?: T): T {
    for (const entry of this.entries) {
      if (entry.key === key && entry.live) return entry.value;
    }
    return load(key);
  }
}

type Alias = Cache<string>;
""",
        [
            "interface Store*",
            "enum Color",
            "class Cache",
            "method Cache.constructor",
            "method Cache.f",
            "type Alias",
        ],
        ["../options Options"],
        ["load"],
        (4, 4, 2, 2),
    ),
    Sample(
        "Go",
        """package store

import (
	"fmt"
	alias "example.com/app/util"
)

// Store keeps things.
type Store struct{ items map[string]int }

type Reader interface{ Read() int }

// Get returns one.
func (s *Store) f(key string, n, m int) (int, error) {
	if v, ok := s.items[key]; ok && n > m {
		return v, nil
	}
	switch n {
	case 1:
		fmt.Println("one")
	case 2, 3:
	default:
	}
	return util.Do(key), nil
}
""",
        ["struct Store*", "interface Reader", "method Store.f*"],
        ["fmt", "example.com/app/util"],
        ["Do", "Println"],
        (5, 3, 1, 3),
    ),
    Sample(
        "Rust",
        """//! A crate.
use std::{fmt, io::{self, Read}};
mod parser;

/// A shape.
#[derive(Debug)]
pub struct Shape { x: i32 }

trait Area { fn area(&self) -> i32; }

impl Shape {
    /// Makes one.
    pub fn f(&self, n: i32) -> Option<i32> {
        if n > 0 && self.x > 0 {
            for i in 0..n { run(i)?; }
        }
        match n { 0 => None, 1 | 2 => Some(1), _ => Some(helper(n)) }
    }
}

macro_rules! twice { ($e:expr) => { $e; $e } }
""",
        ["struct Shape*", "trait Area", "impl Shape", "method Shape.f*", "macro twice"],
        ["std::fmt", "std::io", "std::io::Read", "parser"],
        ["Some", "helper", "run"],
        (7, 5, 2, 2),
    ),
    Sample(
        "Java",
        """package app;

import java.util.List;
import static app.Util.*;

/** A service. */
public class Service implements Runnable {
    private final int size;

    public Service(int size) { this.size = size; }

    @Override
    public int f(List<String> names, int... rest) throws Exception {
        try {
            for (String name : names) {
                if (name.isEmpty() || size > 3) continue;
                send(name);
            }
        } catch (RuntimeException e) {
            throw new Exception(e);
        }
        return size > 0 ? 1 : 0;
    }

    enum Kind { A, B }
}
""",
        ["class Service*", "method Service.Service", "method Service.f", "enum Service.Kind"],
        ["java.util.List", "app.Util.*"],
        ["Exception", "isEmpty", "send"],
        (6, 6, 2, 2),
    ),
    Sample(
        "C",
        """#include <stdio.h>
#include "util.h"

struct point { int x; };

/* Adds. */
static int *f(int a, char *b)
{
    if (a && b)
        puts(b);
    do { a--; } while (a > 0);
    return a ? &a : 0;
}

int main(void) { return f(1, 0) != 0; }
""",
        ["struct point", "function f*", "function main"],
        ["stdio.h", "util.h"],
        ["f", "puts"],
        (5, 4, 1, 2),
    ),
    Sample(
        "C++",
        """#include <vector>
#include "shape.hpp"

namespace geo {

/// A circle.
class Circle : public Shape {
public:
    explicit Circle(double r) : r_(r) {}
    double area() const { return square(r_); }
private:
    double r_;
};

template <typename T>
T f(const std::vector<T>& all, T start) {
    for (const auto& x : all) {
        if (x > start) start = x;
        else break;
    }
    return start;
}

}  // namespace geo

double geo::Circle::scale(double by) { return r_ * by; }
""",
        [
            "module geo",
            "class geo.Circle*",
            "method geo.Circle.Circle",
            "method geo.Circle.area",
            "function geo.f",
            "function geo::Circle::scale",
        ],
        ["vector", "shape.hpp"],
        ["square"],
        (3, 4, 2, 2),
    ),
    Sample(
        "C#",
        """using System;
using Alias = System.Text.StringBuilder;

namespace App.Core
{
    /// <summary>A service.</summary>
    public class Service : IService
    {
        public int Size { get; set; }

        public int f(string name, int count = 1)
        {
            foreach (var c in name)
            {
                if (c == 'x' && count > 0) Console.WriteLine(c);
            }
            return name?.Length ?? Helper(count);
        }

        private int Helper(int n) => n > 0 ? n : 0;
    }

    interface IService { }
    struct Point { }
    enum Kind { A }
    record Pair(int A, int B);
}
""",
        [
            "module App.Core",
            "class App.Core.Service*",
            "method App.Core.Service.f",
            "method App.Core.Service.Helper",
            "interface App.Core.IService",
            "struct App.Core.Point",
            "enum App.Core.Kind",
            "class App.Core.Pair",
        ],
        ["System", "System.Text.StringBuilder"],
        ["Helper", "WriteLine"],
        (5, 4, 2, 2),
    ),
    Sample(
        "Ruby",
        """require 'json'
require_relative 'lib/util'

# A shape.
class Shape < Base
  def f(a, b = 1, *rest)
    return unless a && b
    rest.each do |x|
      puts x if x
    end
    a > 1 ? helper(a) : nil
  end

  def self.build
    new
  end
end

module Tools
end
""",
        ["class Shape*", "method Shape.f", "method Shape.build", "module Tools"],
        ["json", "lib/util"],
        ["each", "helper", "puts", "require", "require_relative"],
        (5, 5, 2, 3),
    ),
    Sample(
        "PHP",
        """<?php
namespace App;

use App\\Models\\{User, Post as Entry};
require_once __DIR__ . '/boot.php';

/** A service. */
class Service extends Base
{
    public function f(string $name, ?int $n = null): int
    {
        foreach ($this->all as $one) {
            if ($one === $name || $n) {
                return $this->find($one);
            }
        }
        return strlen($name);
    }
}

interface Finder {}
trait Logs {}

function helper(): void {}
""",
        ["class Service*", "method Service.f", "interface Finder", "trait Logs", "function helper"],
        ["App\\Models\\User", "App\\Models\\Post", "boot.php"],
        ["find", "strlen"],
        (4, 4, 2, 2),
    ),
    Sample(
        "Elixir",
        """defmodule App.Store do
  @moduledoc "Stores."
  alias App.{Repo, Cache}
  use GenServer

  @doc "Gets."
  def f(key, opts \\\\ []) when is_binary(key) do
    if key == "" or opts == [] do
      nil
    else
      Repo.get(key)
    end
  end

  defp helper, do: :ok
end
""",
        ["module App.Store*", "function App.Store.f*", "function App.Store.helper"],
        ["App.Repo", "App.Cache", "GenServer"],
        ["get", "is_binary"],
        (3, 3, 1, 2),
    ),
    Sample(
        "Kotlin",
        """package app

import app.util.Helper
import kotlin.io.*

/** A store. */
class Store(val size: Int) {
    fun f(key: String, n: Int = 1): Int {
        for (i in 0..n) {
            if (i > 2 && key.isEmpty()) return i
        }
        return when (n) { 1 -> run(key) else -> 0 }
    }
}

interface Reader
object Single
fun top() = Store(1).f("a")
""",
        ["class Store*", "method Store.f", "interface Reader", "object Single", "function top"],
        ["app.util.Helper", "kotlin.io.*"],
        ["Store", "f", "isEmpty", "run"],
        (5, 5, 2, 2),
    ),
    Sample(
        "Swift",
        """import Foundation

/// A shape.
public struct Shape {
    let size: Int

    init(size: Int) { self.size = size }

    func f(_ a: Int, b: String) -> Int {
        guard a > 0 else { return 0 }
        for x in 0..<a where x > 1 {
            if x == 2 || b.isEmpty { print(x) }
        }
        return a
    }
}

protocol Area { func area() -> Int }
enum Kind { case a, b }
""",
        ["struct Shape*", "method Shape.init", "method Shape.f", "interface Area", "enum Kind"],
        ["Foundation"],
        ["print"],
        (5, 5, 2, 2),
    ),
    Sample(
        "Scala",
        """package app

import app.util.{Helper, Other => Alias}
import scala.collection._

/** A store. */
class Store(size: Int) extends Base {
  def f(key: String, n: Int): Int = {
    if (n > 0 && key.nonEmpty) run(key)
    else n match {
      case 0 => 1
      case _ => 2
    }
  }
}

object Store
trait Reader
""",
        ["class Store*", "method Store.f", "object Store", "trait Reader"],
        ["app.util Helper Other", "scala.collection.*"],
        ["run"],
        (4, 5, 2, 2),
    ),
    Sample(
        "Shell",
        """#!/bin/bash
source ./lib.sh
. "$DIR/common.sh"

# Does it.
f() {
  if [ -n "$1" ] && test -f "$2"; then
    for x in "$@"; do
      echo "$x"
    done
  fi
  case "$1" in
    a) run ;;
    *) exit 1 ;;
  esac
}

f one
""",
        ["function f*"],
        ["./lib.sh", "$DIR/common.sh"],
        ["echo", "exit", "f", "run", "test"],
        (5, 5, 2, 0),
    ),
]
