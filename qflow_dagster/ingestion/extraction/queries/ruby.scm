(method) @def.function
(singleton_method) @def.function
(class) @def.class
(module) @def.module
(call method: (identifier) @call)
(call method: (constant) @call)
(call method: (identifier) @_method arguments: (argument_list . (string)) (#match? @_method "^(require|require_relative|load)$")) @import.require
(comment) @comment
(if) @if
(unless) @if
(if_modifier) @if
(unless_modifier) @if
(elsif) @elseif
(else) @else
(while) @loop
(until) @loop
(for) @loop
(while_modifier) @loop
(until_modifier) @loop
(rescue) @catch
(rescue_modifier) @catch
(case) @switch
(case_match) @switch
(when) @case
(in_clause) @case
(conditional) @ternary
(binary operator: ["&&" "and"]) @and
(binary operator: ["||" "or"]) @or
(block) @lambda
(do_block) @lambda
(lambda) @lambda
