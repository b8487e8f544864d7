"""One small program per dynamically typed language, with what is to be found in it."""

from tests.ingestion.samples.sample import Sample

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
        ["react default useState", "fs default", "./other.js"],
        ["fetch", "map", "require", "run"],
        (5, 6, 2, 2),
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
