(method_declaration) @def.method
(constructor_declaration) @def.method
(compact_constructor_declaration) @def.method
(class_declaration) @def.class
(record_declaration) @def.class
(interface_declaration) @def.interface
(annotation_type_declaration) @def.interface
(enum_declaration) @def.enum
(method_invocation name: (identifier) @call)
(object_creation_expression type: (type_identifier) @call)
(import_declaration) @import.import
(line_comment) @comment
(block_comment) @comment
(if_statement) @if
(if_statement alternative: (if_statement) @elseif)
(if_statement alternative: (_) @else)
(for_statement) @loop
(enhanced_for_statement) @loop
(while_statement) @loop
(do_statement) @loop
(catch_clause) @catch
(switch_expression) @switch
(switch_label "case") @case
(ternary_expression) @ternary
(binary_expression operator: "&&") @and
(binary_expression operator: "||") @or
(lambda_expression) @lambda
(break_statement (identifier)) @jump
(continue_statement (identifier)) @jump
