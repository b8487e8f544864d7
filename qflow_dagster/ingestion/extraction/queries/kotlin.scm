(function_declaration) @def.function
(secondary_constructor) @def.function
(class_declaration) @def.class
(object_declaration) @def.class
(call_expression (simple_identifier) @call)
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @call)))
(import_header) @import.import
(line_comment) @comment
(multiline_comment) @comment
(if_expression) @if
(if_expression (control_structure_body (if_expression) @elseif))
(for_statement) @loop
(while_statement) @loop
(do_while_statement) @loop
(catch_block) @catch
(when_expression) @switch
(when_entry (when_condition)) @case
(elvis_expression) @or
(conjunction_expression) @and
(disjunction_expression) @or
(lambda_literal) @lambda
