(function_declaration) @def.function
(init_declaration) @def.function
(class_declaration) @def.class
(protocol_declaration) @def.interface
(call_expression (simple_identifier) @call)
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @call)))
(import_declaration) @import.import
(comment) @comment
(multiline_comment) @comment
(if_statement) @if
(if_statement (if_statement) @elseif)
(guard_statement) @if
(for_statement) @loop
(while_statement) @loop
(repeat_while_statement) @loop
(catch_block) @catch
(switch_statement) @switch
(switch_entry (switch_pattern)) @case
(ternary_expression) @ternary
(conjunction_expression) @and
(disjunction_expression) @or
(nil_coalescing_expression) @or
(lambda_literal) @lambda
