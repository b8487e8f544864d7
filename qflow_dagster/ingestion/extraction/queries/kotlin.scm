(function_declaration) @def.function
(secondary_constructor) @def.function
(class_declaration "class") @def.class
(class_declaration "interface") @def.interface
(object_declaration) @def.object
(call_expression (simple_identifier) @call)
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @call)))
(import_header) @import.import
(line_comment) @comment
(multiline_comment) @comment
(if_expression) @if
(if_expression alternative: (control_structure_body . (if_expression) @elseif .))
(if_expression alternative: (control_structure_body) @else)
(for_statement) @loop
(while_statement) @loop
(do_while_statement) @loop
(catch_block) @catch
(when_expression) @switch
(when_entry (when_condition)) @case
(elvis_expression) @decision
(conjunction_expression) @and
(disjunction_expression) @or
(lambda_literal) @lambda
