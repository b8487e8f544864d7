(function_definition) @def.function
(method_declaration) @def.method
(class_declaration) @def.class
(interface_declaration) @def.interface
(trait_declaration) @def.trait
(enum_declaration) @def.enum
(function_call_expression function: (name) @call)
(function_call_expression function: (qualified_name (name) @call))
(member_call_expression name: (name) @call)
(nullsafe_member_call_expression name: (name) @call)
(scoped_call_expression name: (name) @call)
(object_creation_expression (name) @call)
(namespace_use_declaration) @import.use
(require_expression) @import.require
(require_once_expression) @import.require
(include_expression) @import.require
(include_once_expression) @import.require
(comment) @comment
(if_statement) @if
(else_if_clause) @elseif
(else_clause (if_statement) @elseif)
(else_clause (_) @else .)
(for_statement) @loop
(foreach_statement) @loop
(while_statement) @loop
(do_statement) @loop
(catch_clause) @catch
(switch_statement) @switch
(match_expression) @switch
(case_statement) @case
(match_conditional_expression) @case
(conditional_expression) @ternary
(binary_expression operator: ["&&" "and"]) @and
(binary_expression operator: ["||" "or"]) @or
(binary_expression operator: "??") @decision
(anonymous_function) @lambda
(arrow_function) @lambda
(goto_statement) @jump
