(function_definition) @def.function
(function_declaration) @def.function
(class_definition) @def.class
(object_definition) @def.object
(trait_definition) @def.trait
(enum_definition) @def.enum
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (identifier) @call))
(instance_expression (type_identifier) @call)
(import_declaration) @import.import
(comment) @comment
(block_comment) @comment
(if_expression) @if
(if_expression alternative: (if_expression) @elseif)
(if_expression alternative: (_) @else)
(for_expression) @loop
(while_expression) @loop
(do_while_expression) @loop
(catch_clause) @catch
(match_expression) @switch
(case_clause pattern: (_) @_pattern (#not-eq? @_pattern "_")) @case
(infix_expression operator: (operator_identifier) @_and (#eq? @_and "&&")) @and
(infix_expression operator: (operator_identifier) @_or (#eq? @_or "||")) @or
(lambda_expression) @lambda
