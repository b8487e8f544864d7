(function_declaration) @def.function
(generator_function_declaration) @def.function
(method_definition) @def.function
(variable_declarator value: [(arrow_function) (function_expression) (generator_function)]) @def.function
(assignment_expression left: (_) right: [(arrow_function) (function_expression)]) @def.function
(public_field_definition value: [(arrow_function) (function_expression)]) @def.function
(pair value: [(arrow_function) (function_expression)]) @def.function
(class_declaration) @def.class
(abstract_class_declaration) @def.class
(interface_declaration) @def.interface
(enum_declaration) @def.enum
(type_alias_declaration) @def.type
(internal_module) @def.module
(module) @def.module
(call_expression function: (identifier) @call)
(call_expression function: (member_expression property: (property_identifier) @call))
(new_expression constructor: (identifier) @call)
(import_statement) @import.import
(export_statement source: (string)) @import.export
(call_expression function: (identifier) @_function arguments: (arguments . (string)) (#eq? @_function "require")) @import.require
(call_expression function: (import) arguments: (arguments . (string))) @import.import
(comment) @comment
(if_statement) @if
(else_clause (if_statement) @elseif)
(else_clause (_) @else .)
(for_statement) @loop
(for_in_statement) @loop
(while_statement) @loop
(do_statement) @loop
(catch_clause) @catch
(switch_statement) @switch
(switch_case) @case
(ternary_expression) @ternary
(binary_expression operator: "&&") @and
(binary_expression operator: "||") @or
(binary_expression operator: "??") @decision
(arrow_function) @lambda
(function_expression) @lambda
(break_statement label: (_)) @jump
(continue_statement label: (_)) @jump
