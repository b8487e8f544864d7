"""One small program per statically typed language, with what is to be found in it."""

from tests.ingestion.samples.sample import Sample

SAMPLES = [
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
            "method Store.get*",
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
        ["struct Store*", "interface Reader", "method Reader.Read", "method Store.f*"],
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
        ["struct Shape*", "trait Area", "method Area.area", "impl Shape", "method Shape.f*", "macro twice"],
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
        [
            "struct Shape*",
            "method Shape.init",
            "method Shape.f",
            "interface Area",
            "method Area.area",
            "enum Kind",
        ],
        ["Foundation"],
        ["print"],
        (6, 5, 2, 2),
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
]
